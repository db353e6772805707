"""HTTP, proxies, certificates, credentials and redaction; knows nothing of repositories."""

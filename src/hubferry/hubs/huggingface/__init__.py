"""Hugging Face: ``hub.HuggingFaceHub`` is the adapter; the rest is what it needs."""

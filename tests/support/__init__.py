"""What the acceptance and fault tests share: counts, labs, runs and comparisons."""

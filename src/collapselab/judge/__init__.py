"""People who judge samples: how far they agree, the page that asks them, and judges that only seem to be people."""

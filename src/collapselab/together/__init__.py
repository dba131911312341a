"""All seeds of one arm at once, for families with a closed form."""

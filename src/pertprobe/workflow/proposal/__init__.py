"""What a config may say of given models and cells, found by looking into both."""

"""Pages of the documentation, and in `site` what the pages are made of that nobody writes."""

"""Files and folders: atomic writes, shipped data."""

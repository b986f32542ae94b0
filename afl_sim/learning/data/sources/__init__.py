"""Where samples come from: files and folders in common formats, and factories of the user's."""

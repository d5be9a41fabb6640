"""The mini world: what it shows, says and sounds like; no learned part."""

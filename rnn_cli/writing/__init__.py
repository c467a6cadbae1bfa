"""Writing a text with a model: suggestions at each keystroke, drafts with branches, files that survive a kill."""

"""Sound or lips -> text."""

"""The trainer: it knows a task only by the interface `tasks.base.Task`."""

"""The one writer: events in, apply, plan, commit, perform."""

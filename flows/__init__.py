"""Prefect flows: source that Prefect runs. They call tasks and hold no logic of their own."""

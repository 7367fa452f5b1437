"""Prefect tasks: one file per step of the loop, each a thin call to `alloop.cycle`."""

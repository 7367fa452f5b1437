"""The larger commands of the command line, one file each; `alloop.cli` registers them."""

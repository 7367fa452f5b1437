"""Who walks over the shards of a pool."""

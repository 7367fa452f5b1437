"""What keeps the loop running where nobody watches: deployments, the relay, and the supervisor of `alloop up`."""

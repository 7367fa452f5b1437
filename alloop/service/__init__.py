"""What others reach over HTTP: webhooks in, images and metrics out, and pre-labels for Label Studio."""

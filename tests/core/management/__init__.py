"""What can be asked of services about the cluster itself."""

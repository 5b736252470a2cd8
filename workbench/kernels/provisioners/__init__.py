"""Where a kernel runs: each backend is a kernel provisioner of jupyter_client."""

"""What people do with a potential: thin on well-kept libraries."""

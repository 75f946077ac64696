"""What heads look at (`heads`) and what layers know (`representations`)."""

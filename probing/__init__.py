"""What heads look at (`heads`), what layers know (`representations`), two models (`comparison`)."""

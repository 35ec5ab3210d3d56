"""Settings: values, the table of options, and how arguments become them."""

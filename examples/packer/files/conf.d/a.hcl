key = "value"

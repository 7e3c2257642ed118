"""Examples of tasks as TFRecords: formats that are read, and the stream that is made of them."""

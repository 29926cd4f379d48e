"""What the end-to-end tests are made of: namespaces, processes, phones, stores, audio."""

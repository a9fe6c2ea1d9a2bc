"""What the end-to-end tests stand on: server processes, real clients, namespaces, content checks. No test lives here."""

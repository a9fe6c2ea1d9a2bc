"""What the end-to-end tests stand on: servers, real clients, namespaces, content checks. No test lives here."""

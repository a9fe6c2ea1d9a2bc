"""LiveKit's wire protocol: WebSocket signalling and HTTP API."""

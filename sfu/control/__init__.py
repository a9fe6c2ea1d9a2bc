"""The asyncio shell round the room domain: actors, registry, peer connections, the engine's client."""

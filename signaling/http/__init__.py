"""HTTP routes: health, Twirp services, metrics, page."""

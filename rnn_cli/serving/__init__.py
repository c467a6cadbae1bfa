"""Answering requests with models: what a request may ask, the engine that batches requests, and the transports."""

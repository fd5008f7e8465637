from tests.featx.prediction.made_networks import album, network_file

__all__ = ["album", "network_file"]

from tests.featx.prediction.made_networks import album, groups_file, model, network_file

__all__ = ["album", "groups_file", "model", "network_file"]

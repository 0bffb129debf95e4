"""stub"""
WIDTH=1600

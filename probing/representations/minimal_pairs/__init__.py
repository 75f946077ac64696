"""Minimal pairs: does the model prefer the acceptable sentence?"""

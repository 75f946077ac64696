"""Other attention on the same text: does the output care?"""

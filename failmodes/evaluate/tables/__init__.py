"""Import of tables of predictions made elsewhere: by other frameworks, an API, a phone, or people.

Without a study nothing here imports PyTorch. Nothing is stored before every row is checked.
"""

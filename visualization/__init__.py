"""Pictures of networks, data and training: t-SNE, plots and reports, through the public API only.

Empty so far; ROADMAP.md says what comes.
"""

"""What is handed on to others: data sets with their descriptions, a study as one crate, and the dossier of its data."""

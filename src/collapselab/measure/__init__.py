"""From features to the numbers of records, of a study or of images from anywhere, and what may stand beside what."""

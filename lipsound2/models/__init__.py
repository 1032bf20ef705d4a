"""Networks, one file a block of a paper. Pure: no corpus, no file, no command line; state is passed and returned."""

"""Objects, weights and tokenizer → a package folder → shared libraries → a wheel.

stage      codegen's and import's folders → the package folder, without linked libraries
weights    arrays → weights.bin, aligned for mapping
manifest   what the package holds and how to call it, checked and canonical
licences   what the package's parts may be used for
link       objects → shared libraries, a derivative that no digest covers
wheel      a package folder with the runtime vendored in it, installable
"""

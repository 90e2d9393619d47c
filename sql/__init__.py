"""SQL, one select a file: staging/ and marts/ become views named after the file, checks/ and queries/ are run."""

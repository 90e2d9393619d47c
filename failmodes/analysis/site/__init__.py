"""The page of a study: its bundle, the folder `failmodes site` writes, the server of `failmodes explore`."""

# runtime/volume/

"""Motion between the frames of a clip, and keeping what is stylised steady along it. OpenCV is imported only here, late."""

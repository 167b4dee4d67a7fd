"""Clips: video files, animated images and folders of frames, read and written frame by frame.

PyAV, which holds FFmpeg's libraries, is imported only when a video file is read or written.
"""

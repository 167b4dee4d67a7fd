"""The plugins that stylekit brings along; they enter by entry points, like anyone's."""

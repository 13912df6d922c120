// SPDX-License-Identifier: MPL-2.0
/* Prints the marks that ride on the buffers of a file, read from the meta GstRhythmMeta.
 *
 * It needs GStreamer's headers only, and the plugin in GST_PLUGIN_PATH when it runs:
 *
 *   cc read_marks.c -o read_marks $(pkg-config --cflags --libs gstreamer-1.0)
 *   GST_PLUGIN_PATH=... ./read_marks song.ogg
 *
 * One line for each mark: seconds, kind, strength, confidence. */

#include <gst/gst.h>

/* Elements that split or encode buffers repeat metas: the marks seen, as "source:id". */
static void
print_mark (const GstStructure * mark, const gchar * source, GHashTable * seen)
{
  const gchar *kind = gst_structure_get_string (mark, "kind");
  guint64 id, timestamp;
  gdouble strength, confidence;

  if (kind == NULL || !gst_structure_get (mark, "id", G_TYPE_UINT64, &id,
          "timestamp", G_TYPE_UINT64, &timestamp,
          "strength", G_TYPE_DOUBLE, &strength,
          "confidence", G_TYPE_DOUBLE, &confidence, NULL)) {
    g_printerr ("read_marks: a mark of '%s' lacks a field\n", source);
    return;
  }
  /* The table takes the key, and tells whether it was new. */
  if (g_hash_table_add (seen,
          g_strdup_printf ("%s:%" G_GUINT64_FORMAT, source, id)))
    g_print ("%.3f\t%s\t%.3f\t%.2f\n", timestamp / (gdouble) GST_SECOND, kind,
        strength, confidence);
}

static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer seen)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, "GstRhythmMeta");
  GstStructure *s;
  const GValue *marks;
  guint version;

  (void) pad;
  if (meta == NULL)
    return GST_PAD_PROBE_OK;
  s = gst_custom_meta_get_structure (meta);
  marks = gst_structure_get_value (s, "marks");
  if (!gst_structure_get_uint (s, "version", &version) || version != 1
      || marks == NULL || !GST_VALUE_HOLDS_ARRAY (marks)) {
    g_printerr ("read_marks: marks of another version\n");
    return GST_PAD_PROBE_OK;
  }
  for (guint i = 0; i < gst_value_array_get_size (marks); i++) {
    const GValue *mark = gst_value_array_get_value (marks, i);

    if (GST_VALUE_HOLDS_STRUCTURE (mark))
      print_mark (gst_value_get_structure (mark),
          gst_structure_get_string (s, "source"), seen);
  }
  return GST_PAD_PROBE_OK;
}

int
main (int argc, char **argv)
{
  GstElement *pipeline, *media, *sink;
  GstPad *pad;
  GstMessage *message;
  GHashTable *seen;
  GError *error = NULL;
  gchar *uri;
  int status = 0;

  gst_init (&argc, &argv);
  if (argc != 2) {
    g_printerr ("usage: read_marks FILE-OR-URI\n");
    return 1;
  }
  uri = gst_uri_is_valid (argv[1]) ? g_strdup (argv[1])
      : gst_filename_to_uri (argv[1], &error);
  pipeline = error != NULL ? NULL : gst_parse_launch_full (
      "uridecodebin name=media caps=audio/x-raw expose-all-streams=false "
      "! audioconvert ! onsetdetect mode=aligned ! fakesink name=sink",
      NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (pipeline == NULL) {
    g_printerr ("read_marks: %s\n", error->message);
    g_error_free (error);
    g_free (uri);
    return 1;
  }
  media = gst_bin_get_by_name (GST_BIN (pipeline), "media");
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_object_set (media, "uri", uri, NULL);
  seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  pad = gst_element_get_static_pad (sink, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, seen, NULL);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (GST_ELEMENT_BUS (pipeline),
      GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, NULL);
    g_printerr ("read_marks: %s: %s\n", GST_MESSAGE_SRC_NAME (message),
        error->message);
    g_error_free (error);
    status = 1;
  }

  gst_message_unref (message);
  gst_object_unref (pad);
  gst_object_unref (media);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  g_hash_table_unref (seen);
  g_free (uri);
  return status;
}

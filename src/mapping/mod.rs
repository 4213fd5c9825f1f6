//! Programs in the jq language that turn one side's requests and replies into the other's, and the selection of the
//! fields that the application reads. Pure: values in, values out, bounded in steps and bytes.

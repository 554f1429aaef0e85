//! CapeFormer's hyper-parameters.

/// Hyper-parameters around the networks: `[decode]` of a bundle.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Config {
    /// How much larger a crop is than the longer side of its box.
    #[cfg_attr(feature = "std", serde(alias = "margin"))]
    pub box_padding: f64,
    /// How to enrol a keypoint that some of several images do not show.
    pub hidden_keypoints: HiddenRule,
}

/// `decode.hidden_keypoints`: a keypoint is enrolled from several images, and hidden in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum HiddenRule {
    /// It is dropped, as the reference does.
    Drop,
    /// It is enrolled from the images that show it.
    AverageSeen,
}
